import "../../sdk3.mjs";
import "../requests.test.mjs";
