import { expect, it } from 'vitest';
import { inTurns, peerColumns, readPeer } from '../../bench/peers.ts';

const work = { side: 512, textTokens: 256, threads: 2 };

it('a peer is a command that prints its seconds last, and is told the work', async () => {
  const peers = [readPeer('other=echo "step 1 of 3 took 9.5 s"; echo "$RETOUCH_SIDE.$RETOUCH_THREADS s"')];
  let calls = 0;
  const found = await inTurns(async () => calls++, peers, { runs: 2, work });
  expect(found.peers).toEqual(new Map([['other', 512.2]]));
  // Twice a warm-up and a measured run.
  expect(calls).toBe(4);
});

it('a peer is told the block that is measured, and its seconds are shown as a multiple of ours first', async () => {
  const peers = [
    readPeer('other=echo "$RETOUCH_BLOCK $RETOUCH_TEXT_TOKENS $RETOUCH_SIDE"; echo $RETOUCH_TOKENS'),
  ];
  const block = { block: 'single', tokens: 8704, textTokens: 256, threads: 2 } as const;
  const found = await inTurns(async () => {}, peers, { runs: 1, work: block });
  expect(Object.entries(peerColumns(found.peers, 4352))).toEqual([
    ['other / ours', 2],
    ['other s', 8704],
  ]);
});

it('without a peer there is no figure of one', async () => {
  expect((await inTurns(async () => {}, [], { runs: 1, work })).peers).toEqual(new Map());
});

it('a peer that prints no number, or has no command, is an error', async () => {
  await expect(inTurns(async () => {}, [readPeer('mute=true')], { runs: 1, work })).rejects.toThrow(
    'The peer mute printed no number',
  );
  expect(() => readPeer('name only')).toThrow('expected NAME=COMMAND');
});
