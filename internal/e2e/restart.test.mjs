// Clients live through a kill of the server. The driver writes KILL on its own
// schedule: this program says when it is ready and goes on when the server is back.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { acknowledged, close, connect, converged, synced, until, versions } from './peers.mjs'

const driver = createInterface({ input: process.stdin })
const say = word => process.stdout.write(`\n@driver ${word}\n`)

test('clients stay through kill -9 and a restart; what was acknowledged is on disk', async () => {
  const a = connect(versions['3.1.0'], 'restart/doc')
  const b = connect(versions['2.1.0'], 'restart/doc')
  await synced(a, b)
  a.doc.getText('text').insert(0, 'acknowledged')
  await acknowledged(a, 1)
  say('kill')
  await until('the connections are lost', () => !a.provider.wsconnected && !b.provider.wsconnected)
  a.doc.getText('text').insert(0, 'typed while down, ')
  say('start')
  await once(driver, 'line')
  await until('both are back', () => a.provider.synced && b.provider.synced, 30_000)
  await until('both agree', () => converged(a, b))
  assert.equal(b.doc.getText('text').toString(), 'typed while down, acknowledged')
  close(a, b)
  const fresh = connect(versions['1.5.4'], 'restart/doc')
  await until('a fresh client reads it', () => fresh.doc.getText('text').toString() === 'typed while down, acknowledged')
  close(fresh)
  driver.close()
})
