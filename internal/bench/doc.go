// Command bench measures the server against @y/websocket-server and a bare
// coder/websocket echo: the same client program, in one run, the server on one
// core and the clients on the other. The rival keeps nothing on disk; ours keeps
// its log on disk, synced.
//
// A delivery is one edit seen by one receiver that decoded and integrated it; an
// edit is finished when all receivers have it. Rates are given per second of the
// server's CPU time, read from the operating system, so that they do not depend
// on how busy the clients keep it.
package main
