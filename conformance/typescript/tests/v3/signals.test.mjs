import "../../sdk3.mjs";
import "../signals.test.mjs";
