// The page's schedule time, in real seconds of the run. Live it follows the run; afterwards a person leads it.

const FORGIVEN_S = 1; // a difference to the run beyond which the page's clock jumps
const SLEWED = 0.1; // share of a smaller one that each message of the run takes off
const AHEAD_S = 3; // without a message it goes no further: the run may have stalled

export class Clock {
  constructor(durationS) {
    this.durationS = durationS;
    this.live = false;
    this.rate = 1;
    this.playing = true;
    this.timeS = 0;
    this.toldS = null; // what the run said last
    this.before = performance.now() / 1000;
  }

  // The run is at `timeS`.
  follow(timeS) {
    const now = this.tick();
    const off = timeS - now;
    this.timeS = this.toldS === null || Math.abs(off) > FORGIVEN_S ? timeS : now + off * SLEWED;
    this.toldS = timeS;
  }

  // From now on a person leads it.
  release() {
    this.live = false;
    this.playing = false;
  }

  seek(timeS) {
    this.tick();
    this.timeS = Math.min(Math.max(timeS, 0), this.durationS);
  }

  toggle() {
    this.tick();
    if (!this.playing && this.timeS >= this.durationS) this.timeS = 0;
    this.playing = !this.playing;
  }

  // Move to now; returns the time.
  tick() {
    const now = performance.now() / 1000;
    const passed = now - this.before;
    this.before = now;
    if (this.live) {
      if (this.toldS !== null) this.timeS = Math.min(this.timeS + passed, this.toldS + AHEAD_S);
    } else if (this.playing) {
      this.timeS += passed * this.rate;
    }
    if (this.timeS >= this.durationS) {
      this.timeS = this.durationS;
      if (!this.live) this.playing = false;
    }
    return this.timeS;
  }
}
