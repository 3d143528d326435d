import { Editor } from '@tiptap/core'
import Collaboration from '@tiptap/extension-collaboration'
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import StarterKit from '@tiptap/starter-kit'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { trackAcknowledgements } from './acknowledgement.js'
import { caret, loadMe, saveMe, selection, showPeople } from './people.js'

const $ = id => document.getElementById(id)
const name = decodeURIComponent(location.hash.slice(1)) || 'welcome'
const me = loadMe()

const doc = new Y.Doc()
const server = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`
const provider = new WebsocketProvider(server, encodeURIComponent(name), doc)

const editor = new Editor({
  element: $('editor'),
  injectCSS: false,
  extensions: [
    StarterKit.configure({ undoRedo: false, link: { openOnClick: false } }),
    Collaboration.configure({ document: doc }),
    CollaborationCaret.configure({ provider, user: me, render: caret, selectionRender: selection }),
  ],
})

// Status line: the connection, and whether what was typed here is durable.
let progress = { made: 0, durable: 0 }
let refused = null

const showStatus = () => {
  const offline = $('offline').checked
  const state = refused ? 'closed' : offline ? 'offline' : provider.synced ? 'connected' : 'connecting'
  $('status').dataset.state = state
  $('status-text').textContent = {
    closed: `Refused by the server: ${refused?.reason || refused?.code}`,
    offline: 'Offline',
    connected: 'Connected',
    connecting: 'Connecting…',
  }[state]

  const waiting = progress.made - progress.durable
  const saved = waiting === 0 ? (progress.made === 0 ? 'idle' : 'saved') : state === 'connected' ? 'saving' : 'kept'
  $('saved').dataset.state = saved
  $('saved').textContent = {
    idle: '',
    saved: 'Saved',
    saving: 'Saving…',
    kept: `${waiting} unsaved ${waiting === 1 ? 'change' : 'changes'} in this window`,
  }[saved]
}

trackAcknowledgements(provider, next => { progress = next; showStatus() })
provider.on('status', showStatus)
provider.on('sync', showStatus)
provider.on('closed', event => { refused = event; showStatus() })
addEventListener('beforeunload', event => { if (progress.made !== progress.durable) event.preventDefault() })

$('offline').addEventListener('change', event => {
  if (event.target.checked) provider.disconnect()
  else provider.connect()
  showStatus()
})

// Who is here.
provider.awareness.on('change', () => showPeople($('people'), provider.awareness))
$('me').value = me.name
$('swatch').style.backgroundColor = me.color
$('me').addEventListener('input', event => {
  me.name = event.target.value.trim() || 'Someone'
  saveMe(me)
  editor.commands.updateUser({ ...me })
})

// Document name.
$('name').value = name
document.title = `${name} · ysync`
$('open').addEventListener('submit', event => {
  event.preventDefault()
  location.hash = encodeURIComponent($('name').value.trim() || 'welcome')
})
addEventListener('hashchange', () => location.reload())

// Toolbar.
const actions = {
  bold: [c => c.toggleBold(), 'bold'],
  italic: [c => c.toggleItalic(), 'italic'],
  underline: [c => c.toggleUnderline(), 'underline'],
  strike: [c => c.toggleStrike(), 'strike'],
  code: [c => c.toggleCode(), 'code'],
  h1: [c => c.toggleHeading({ level: 1 }), 'heading', { level: 1 }],
  h2: [c => c.toggleHeading({ level: 2 }), 'heading', { level: 2 }],
  bullets: [c => c.toggleBulletList(), 'bulletList'],
  numbers: [c => c.toggleOrderedList(), 'orderedList'],
  quote: [c => c.toggleBlockquote(), 'blockquote'],
  undo: [c => c.undo()],
  redo: [c => c.redo()],
}
for (const button of document.querySelectorAll('[data-do]')) {
  button.addEventListener('mousedown', event => event.preventDefault())
  button.addEventListener('click', () => actions[button.dataset.do][0](editor.chain().focus()).run())
}
const showToolbar = () => {
  for (const button of document.querySelectorAll('[data-do]')) {
    const [, type, attributes] = actions[button.dataset.do]
    button.classList.toggle('on', type !== undefined && editor.isActive(type, attributes))
  }
  $('editor').firstElementChild?.classList.toggle('empty', editor.isEmpty)
}
editor.on('transaction', showToolbar)
showToolbar()
showStatus()
