// A lone idle client must not lose its connection: y-websocket gives up after
// 30 s without a message from the server, @y/websocket after 45 s.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { close, connect, synced, versions } from './peers.mjs'

test('a lone client without presence stays connected for 90 s', { concurrency: true }, async () => {
  const peers = Object.values(versions).map(Provider => connect(Provider, `idle-${randomUUID()}`))
  // Without a local state nothing of a client's own comes back to it.
  peers.forEach(p => p.provider.awareness.setLocalState(null))
  await synced(...peers)
  let losses = 0
  peers.forEach(p => p.provider.on('status', ({ status }) => { if (status !== 'connected') losses++ }))
  await new Promise(resolve => setTimeout(resolve, 90_000))
  assert.equal(losses, 0)
  assert.ok(peers.every(p => p.provider.wsconnected))
  close(...peers)
})
