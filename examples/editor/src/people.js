const colours = ['#1d4ed8', '#b91c1c', '#15803d', '#7e22ce', '#b45309', '#0e7490', '#be185d', '#4d7c0f']
const adjectives = ['Quiet', 'Brisk', 'Amber', 'Lucky', 'Polar', 'Gentle', 'Clever', 'Sunny']
const animals = ['Heron', 'Otter', 'Lynx', 'Finch', 'Badger', 'Marten', 'Plover', 'Hare']

const pick = list => list[Math.floor(Math.random() * list.length)]

/** The name and colour that this browser shows to others; kept between visits. */
export const loadMe = () => {
  const me = {
    name: localStorage.getItem('ysync-name') ?? `${pick(adjectives)} ${pick(animals)}`,
    color: localStorage.getItem('ysync-color') ?? pick(colours),
  }
  saveMe(me)
  return me
}

export const saveMe = ({ name, color }) => {
  localStorage.setItem('ysync-name', name)
  localStorage.setItem('ysync-color', color)
}

/** Another person's colour is foreign input: only plain hex colours are shown. */
export const safeColour = colour => (/^#[0-9a-f]{6}$/i.test(colour) ? colour : '#64748b')

const initials = name => name.split(/\s+/).filter(Boolean).slice(0, 2).map(w => [...w][0].toUpperCase()).join('')

/** Shows one badge for every client with presence. */
export const showPeople = (list, awareness) => {
  const badges = []
  for (const [id, state] of awareness.getStates()) {
    if (!state.user) continue
    const name = String(state.user.name ?? 'Someone').slice(0, 40)
    const badge = document.createElement('li')
    badge.textContent = initials(name) || '?'
    badge.title = id === awareness.clientID ? `${name} (you)` : name
    badge.dataset.name = name
    badge.style.backgroundColor = safeColour(state.user.color)
    badges.push(badge)
  }
  list.replaceChildren(...badges)
}

/** A remote cursor: a coloured line with the name on top. */
export const caret = user => {
  const line = document.createElement('span')
  line.className = 'caret'
  line.style.borderColor = safeColour(user.color)
  const label = document.createElement('span')
  label.textContent = String(user.name ?? 'Someone').slice(0, 40)
  label.style.backgroundColor = safeColour(user.color)
  line.append('\u2060', label, '\u2060')
  return line
}

export const selection = user => ({ nodeName: 'span', style: `background-color: ${safeColour(user.color)}33` })
