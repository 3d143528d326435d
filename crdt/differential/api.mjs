// Commands for what documents offer beside edits and updates: undo managers, subdocuments, reads of all kinds.
import * as Y from 'yjs'
import clock from './clock.mjs'

const idSet = ds => {
  const out = {}
  for (const [client, list] of ds.clients) {
    const sorted = list.map(r => [r.clock, r.clock + r.len]).sort((a, b) => a[0] - b[0])
    const merged = []
    for (const r of sorted) {
      const last = merged[merged.length - 1]
      if (last !== undefined && last[1] >= r[0]) last[1] = Math.max(last[1], r[1])
      else merged.push(r)
    }
    if (merged.length > 0) out[client] = merged
  }
  return out
}

const stackItem = s => s === undefined ? null : { ins: idSet(s.insertions), del: idSet(s.deletions), meta: s.meta.get('n') ?? null }

const filters = {
  types: item => !(item.content instanceof Y.ContentType),
  keys: item => item.parentSub === null,
  all: () => true
}

export const commandsOf = ({ docs, at, plain, tagged, kind, drain, b64, unb64 }) => {
  const managers = new Map()
  const origin = o => o === '$String' ? String : o
  const scope = (d, path) => path.length === 0 ? d.doc : at(d, path)
  const roots = (d, types) => Object.keys(d.roots).filter(k => types.has(d.roots[k])).sort()

  const read = (t, { from, to, key }) => {
    const out = { json: tagged(t.toJSON()), parent: t.parent === null ? null : kind(t.parent) }
    if (t instanceof Y.Text) out.length = t.length
    if (t instanceof Y.Text || t instanceof Y.XmlElement) out.attr = tagged(t.getAttribute(key))
    if (t instanceof Y.Map) {
      out.size = t.size
      out.keys = [...t.keys()].map(tagged)
      out.has = t.has(key)
      out.value = tagged(t.get(key))
    }
    if (t instanceof Y.Array || t instanceof Y.XmlFragment) {
      out.length = t.length
      out.slice = t.slice(from, to).map(tagged)
      out.item = tagged(t.get(from))
    }
    if (t instanceof Y.XmlFragment) {
      out.first = tagged(t.firstChild ?? null)
      out.query = tagged(t.querySelector(key))
      out.queries = t.querySelectorAll(key).map(tagged)
      out.all = [...t.createTreeWalker(() => true)].map(kind)
    }
    if (t instanceof Y.XmlElement || t instanceof Y.XmlText) {
      out.string = tagged(t.toString())
      out.next = tagged(t.nextSibling ?? null)
      out.prev = tagged(t.prevSibling ?? null)
    }
    if (t instanceof Y.XmlElement) out.hasAttr = t.hasAttribute(key)
    return out
  }

  return {
    tick: ({ ms }) => {
      clock.now += ms
      return {}
    },
    undoNew: ({ doc, um, scopes, origins, window, overwrite, filter }) => {
      const d = docs.get(doc)
      const m = new Y.UndoManager(scopes.map(path => scope(d, path)), {
        captureTimeout: window, trackedOrigins: new Set(origins.map(origin)), ignoreRemoteMapChanges: overwrite,
        deleteFilter: filters[filter], doc: d.doc
      })
      const events = []
      let n = 0
      for (const name of ['stack-item-added', 'stack-item-updated', 'stack-item-popped']) {
        m.on(name, e => {
          if (name === 'stack-item-added') e.stackItem.meta.set('n', ++n)
          events.push({ e: name, stack: e.type, meta: e.stackItem.meta.get('n'), changed: roots(d, e.changedParentTypes) })
        })
      }
      m.on('stack-cleared', e => events.push({ e: 'stack-cleared', undo: e.undoStackCleared, redo: e.redoStackCleared }))
      managers.set(um, { m, d, events })
      return {}
    },
    undo: ({ um, what, path, o }) => {
      const { m, d } = managers.get(um)
      let popped = null
      switch (what) {
        case 'undo': popped = m.undo(); break
        case 'redo': popped = m.redo(); break
        case 'stop': m.stopCapturing(); break
        case 'clear': m.clear(); break
        case 'clearUndo': m.clear(true, false); break
        case 'clearRedo': m.clear(false, true); break
        case 'scope': m.addToScope(scope(d, path)); break
        case 'origin': m.addTrackedOrigin(origin(o)); break
        case 'noOrigin': m.removeTrackedOrigin(origin(o)); break
        case 'close': m.destroy(); break
      }
      return { popped: stackItem(popped ?? undefined), ...drain(d) }
    },
    // stacks: what waits in a manager, and its events since the last call.
    stacks: ({ um }) => {
      const { m, events } = managers.get(um)
      return {
        undo: m.undoStack.map(stackItem),
        redo: m.redoStack.map(stackItem),
        can: [m.canUndo(), m.canRedo()],
        told: events.splice(0)
      }
    },
    // subdoc loads or destroys a subdocument outside of any transaction.
    subdoc: ({ doc, path, key, what }) => {
      const d = docs.get(doc)
      at(d, path).get(plain(key))[what]()
      return drain(d)
    },
    subdocs: ({ doc }) => ({ guids: [...docs.get(doc).doc.getSubdocs()].map(s => s.guid).sort() }),
    read: ({ doc, path, ...args }) => read(at(docs.get(doc), path), args),
    // listAt: the elements that a list had at a moment.
    meta: ({ v, u }) => {
      const { from, to } = v === 2 ? Y.parseUpdateMetaV2(unb64(u)) : Y.parseUpdateMeta(unb64(u))
      const sv = v === 2 ? Y.encodeStateVectorFromUpdateV2(unb64(u)) : Y.encodeStateVectorFromUpdate(unb64(u))
      return { from: Object.fromEntries(from), to: Object.fromEntries(to), sv: b64(sv) }
    },
    snapshots: ({ s, t, u }) => {
      const [a, b] = [s, t].map(x => Y.decodeSnapshot(unb64(x)))
      return { equal: Y.equalSnapshots(a, b), contains: Y.snapshotContainsUpdate(a, unb64(u)) }
    }
  }
}
