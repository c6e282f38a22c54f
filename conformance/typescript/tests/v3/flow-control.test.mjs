import "../../sdk3.mjs";
import "../flow-control.test.mjs";
