// As much of a browser as a login needs: cookies, redirects, and forms that a person fills in and sends.

const entities = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
const decode = (text) => text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => entities[name]);
const attribute = (tag, name) => {
  const found = tag.match(new RegExp(`\\s${name}="([^"]*)"`));
  return found && decode(found[1]);
};

export class Browser {
  #cookies = [];

  /** Opens an address and follows redirects, until a page comes or the browser would leave for `end`. */
  async open(address, end, init = {}) {
    for (let hops = 0; hops < 20; hops += 1) {
      if (end && address.startsWith(end)) return { left: address };
      const headers = { ...init.headers, cookie: this.#sent(new URL(address)) };
      const answer = await fetch(address, { ...init, headers, redirect: "manual", signal: AbortSignal.timeout(20_000) });
      this.#keep(answer.headers.getSetCookie(), new URL(address));
      const body = await answer.text();
      if (answer.status < 300 || answer.status >= 400) return { address, status: answer.status, body };
      address = new URL(answer.headers.get("location"), address).href;
      init = {};
    }
    throw new Error(`too many redirects: ${address}`);
  }

  /** Sends the form of a page, with what is hidden in it and what the person fills in. */
  async submit(page, filled, end) {
    const form = page.body.match(/<form[\s\S]*?<\/form>/)?.[0];
    if (!form) throw new Error(`there is no form at ${page.address} (${page.status}):\n${page.body}`);
    const fields = new URLSearchParams();
    for (const [input] of form.matchAll(/<input[^>]*>/g)) {
      const name = attribute(input, "name");
      if (name && attribute(input, "type") === "hidden") fields.set(name, attribute(input, "value") ?? "");
    }
    for (const [name, value] of Object.entries(filled)) fields.set(name, value);
    const action = new URL(attribute(form, "action"), page.address).href;
    return this.open(action, end, { method: "POST", body: fields });
  }

  #sent({ pathname }) {
    const here = this.#cookies.filter(({ path }) => pathname === path || pathname.startsWith(path.replace(/\/?$/, "/")));
    return here.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  #keep(lines, { pathname }) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(/;\s*/);
      const [, name, value] = pair.match(/^([^=]+)=(.*)$/);
      const said = Object.fromEntries(attributes.map((text) => text.split("=")));
      const path = said.path ?? (pathname.replace(/\/[^/]*$/, "") || "/");
      this.#cookies = this.#cookies.filter((known) => known.name !== name || known.path !== path);
      if (value !== "" && !(Date.parse(said.expires) < Date.now())) this.#cookies.push({ name, value, path });
    }
  }
}
