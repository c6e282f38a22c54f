import "../../sdk3.mjs";
import "../failures.test.mjs";
