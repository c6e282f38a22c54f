import "../../sdk3.mjs";
import "../ends.test.mjs";
