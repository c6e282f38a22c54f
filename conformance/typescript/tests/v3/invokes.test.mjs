import "../../sdk3.mjs";
import "../invokes.test.mjs";
