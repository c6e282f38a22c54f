import "../../sdk3.mjs";
import "../parallel.test.mjs";
