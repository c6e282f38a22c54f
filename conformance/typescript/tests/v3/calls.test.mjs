import "../../sdk3.mjs";
import "../calls.test.mjs";
