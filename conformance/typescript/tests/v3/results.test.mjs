import "../../sdk3.mjs";
import "../results.test.mjs";
