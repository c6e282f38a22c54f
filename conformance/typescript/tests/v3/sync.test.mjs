import "../../sdk3.mjs";
import "../sync.test.mjs";
