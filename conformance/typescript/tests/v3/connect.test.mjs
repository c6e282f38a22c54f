import "../../sdk3.mjs";
import "../connect.test.mjs";
