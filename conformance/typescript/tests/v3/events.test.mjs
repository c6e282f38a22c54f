import "../../sdk3.mjs";
import "../events.test.mjs";
