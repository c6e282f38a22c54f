import "../../sdk3.mjs";
import "../steps.test.mjs";
