// A document is reset under tabs that are open, away, and stored. What they have
// never comes back; a tab that is loaded again works.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { acknowledged, close, connect, converged, synced, until, versions } from './peers.mjs'

const name = 'reset/doc'
const api = `http://${process.env.YSYNC_OPS}/api/v1/documents/${encodeURIComponent(name)}`
const content = async (at = 'now') => (await fetch(`${api}/content?format=text&at=${encodeURIComponent(at)}`)).text()
const refused = peer => until('the server refuses it', () => peer.closed.some(c => c.code === 4409))

test('a reset ends every copy of before', async () => {
  const open = connect(versions['3.1.0'], name)
  const away = connect(versions['2.1.0'], name)
  await synced(open, away)
  open.doc.getText('text').insert(0, 'poison')
  await acknowledged(open, 1)
  await until('it has arrived', () => converged(open, away))
  away.provider.disconnect()
  away.doc.getText('text').insert(0, 'typed offline, ')
  open.doc.getText('text').delete(0, 6)
  open.doc.getText('text').insert(0, 'good')
  await acknowledged(open, 2)
  const stored = Y.encodeStateAsUpdate(open.doc)

  const answer = await fetch(`${api}/reset`, { method: 'POST', body: '{}' })
  assert.equal(answer.status, 200)
  assert.equal((await answer.json()).generation, 2)

  await refused(open)
  assert.equal(open.provider.shouldConnect, false, 'y-websocket 3.1 does not try again')
  away.provider.connect()
  await refused(away)
  away.provider.disconnect()
  // A tab that kept the old state in the browser has a new client ID.
  const reopened = connect(versions['3.1.0'], name, { doc: (doc => { Y.applyUpdate(doc, stored); return doc })(new Y.Doc()) })
  reopened.doc.getText('text').insert(0, 'more ')
  await refused(reopened)

  const fresh = [connect(versions['3.1.0'], name), connect(versions['1.5.4'], name)]
  await synced(...fresh)
  assert.equal(fresh[0].doc.getText('text').toString(), 'good')
  fresh[0].doc.getText('text').insert(4, ' again')
  await acknowledged(fresh[0], 3)
  await until('both agree', () => converged(...fresh))
  assert.equal(fresh[1].doc.getText('text').toString(), 'good again')
  assert.equal(await content(), 'good again')
  assert.equal(await content('#1@1'), 'poison')
  close(open, away, reopened, ...fresh)
})
