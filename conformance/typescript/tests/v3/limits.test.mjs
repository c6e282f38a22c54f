import "../../sdk3.mjs";
import "../limits.test.mjs";
