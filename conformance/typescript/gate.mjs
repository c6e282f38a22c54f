/** Holds every execution that enters until the test lets it go, and counts them. */
export class Gate {
  #held = [];
  inside = 0;
  most = 0;

  async enter() {
    this.inside += 1;
    this.most = Math.max(this.most, this.inside);
    await new Promise((release) => this.#held.push(release));
    this.inside -= 1;
  }

  releaseOne() {
    const release = this.#held.shift();
    release?.();
    return Boolean(release);
  }
}
