import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { FailureNews, REPEAT_LOG_MS } from "../../src/core/failure-news.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

describe("a failure that goes on", () => {
  it("is news once, and again after so long, counted from when it was last said", async () => {
    const clock = new ManualClock();
    const news = new FailureNews(clock);
    assert.equal(news.isNews("down"), true);
    await clock.advance(REPEAT_LOG_MS - 1);
    assert.equal(news.isNews("down"), false);
    await clock.advance(1);
    assert.equal(news.isNews("down"), true);
    await clock.advance(REPEAT_LOG_MS - 1);
    assert.equal(news.isNews("down"), false);
  });

  it("is news at once where it is another one than before", () => {
    const news = new FailureNews(new ManualClock());
    const said = ["down", "denied", "denied", "down"].map((what) => news.isNews(what));
    assert.deepEqual(said, [true, true, false, true]);
  });

  it("ends, and is news again then", () => {
    const news = new FailureNews(new ManualClock());
    assert.equal(news.end(), false, "there was none");
    news.isNews("down");
    assert.equal(news.end(), true);
    assert.equal(news.end(), false);
    assert.equal(news.isNews("down"), true);
  });
});
