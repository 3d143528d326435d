// The clock of Yjs, which reads Date.now once when it is loaded: this module comes first. It stands still until it is
// moved.
const clock = { now: 1 }
Date.now = () => clock.now
export default clock
