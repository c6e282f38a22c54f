import "../../sdk3.mjs";
import "../waits.test.mjs";
