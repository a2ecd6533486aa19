import { describe, expect, it } from 'vitest';
import { Pace } from '../../src/tasks/metrics/pace.ts';

describe('the time to wait', () => {
  it('is five seconds for each image of the queue while nothing is known', () => {
    const pace = new Pace();
    expect([0, 1, 2, 4].map((depth) => pace.retryAfter(depth))).toEqual([5, 5, 10, 20]);
  });

  it('is the images of the queue times what an image took, in whole seconds', () => {
    const pace = new Pace();
    pace.note(2.3);
    expect([0, 1, 3, 10].map((depth) => pace.retryAfter(depth))).toEqual([3, 3, 7, 23]);
  });

  it('is never less than a second and never more than a minute', () => {
    const pace = new Pace();
    pace.note(0.001);
    expect([pace.retryAfter(0), pace.retryAfter(900)]).toEqual([1, 1]);
    pace.note(1e6);
    expect(pace.retryAfter(1)).toBe(60);
  });

  it('follows the last images', () => {
    const pace = new Pace();
    pace.note(20);
    pace.note(4);
    expect(pace.retryAfter(1)).toBe(16);
    for (let i = 0; i < 20; i++) pace.note(4);
    expect(pace.retryAfter(1)).toBe(5);
    expect(pace.retryAfter(10)).toBe(41);
  });
});
