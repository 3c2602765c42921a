// Logging in with a token. The session that it begins is a cookie that scripts do not see; the token is kept nowhere.
import { h, show } from "./dom.js";
import { call } from "./api.js";

export default function login(main, { entered, message }) {
  const input = h("input", { type: "password", id: "token", name: "token", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "login-help" });
  const button = h("button", { type: "submit", class: "plain main" }, "Log in");
  const wrong = h("div", { role: "alert" });
  const form = h("form", { novalidate: true }, h("div", {}, h("label", { for: "token" }, "Token"), input), button, wrong);
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const token = input.value.trim();
    if (!token) { show(wrong, h("p", { class: "notice bad" }, "Give a token.")); return input.focus(); }
    button.disabled = true;
    try {
      await call("AccessService", "Login", { token });
      input.value = "";
      entered();
    } catch (err) {
      show(wrong, h("p", { class: "notice bad" }, err.message));
      input.select();
    } finally {
      button.disabled = false;
    }
  });
  show(main, h("section", { class: "card login" }, h("h1", {}, "Log in"), message ? h("p", { class: "notice" }, message) : null, form,
    h("p", { id: "login-help", class: "empty" }, "On the orchestrator's machine:", h("br"), h("code", {}, "freeflow token create --role viewer"), h("br"),
      "viewer reads; operator also changes policies and networks; admin does everything.")));
  input.focus();
}
