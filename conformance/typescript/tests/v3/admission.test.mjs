import "../../sdk3.mjs";
import "../admission.test.mjs";
