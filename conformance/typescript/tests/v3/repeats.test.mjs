import "../../sdk3.mjs";
import "../repeats.test.mjs";
