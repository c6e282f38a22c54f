import "../../sdk3.mjs";
import "../cancels.test.mjs";
