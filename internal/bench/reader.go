package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ysync/crdt"
	"ysync/syncproto"
)

// reader is a client that only reads: it decodes every update and notes which
// edits it has seen, but keeps no replica. One goroutine serves all readers
// through epoll, so that a core of clients takes frames faster than a core of
// server can send them.
type reader struct {
	group *group
	stats *stats
	file  *os.File // keeps the descriptor open
	part  []byte   // the start of a frame whose rest has not come
	seen  map[crdt.ClientID]crdt.Clock
}

// readers is the epoll set, one for the program.
var readers struct {
	once sync.Once
	fd   int
	rc   syscall.RawConn // of fd: waiting for it is left to the runtime
	err  error

	mu sync.Mutex
	of map[int32]*reader
}

// joinReader connects a client that only reads.
func (g *group) joinReader(addr string) (func(), error) {
	readers.once.Do(func() {
		readers.of = map[int32]*reader{}
		if readers.err = openReaders(); readers.err == nil {
			go serveReaders()
		}
	})
	if readers.err != nil {
		return nil, readers.err
	}
	p, err := g.connect(addr)
	if err != nil {
		return nil, err
	}
	// The peer's goroutine hands the socket over at the next frame boundary.
	handed := make(chan *reader, 1)
	p.mu.Lock()
	p.handOver = func(left []byte) {
		handed <- &reader{group: g, stats: p.stats, part: append([]byte(nil), left...), seen: map[crdt.ClientID]crdt.Clock{}}
	}
	p.mu.Unlock()
	p.socket.conn.SetReadDeadline(time.Now())
	r := <-handed
	file, err := p.socket.conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, err
	}
	p.socket.close()
	r.file = file
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.receivers++
	g.mu.Unlock()
	readers.mu.Lock()
	readers.of[int32(fd)] = r
	readers.mu.Unlock()
	err = unix.EpollCtl(readers.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	return func() {
		readers.mu.Lock()
		delete(readers.of, int32(fd))
		readers.mu.Unlock()
		file.Close()
	}, err
}

// openReaders makes the epoll set. It is polled by the runtime in its turn: a
// goroutine that waited in the system call would keep the only processor from
// the writers until the runtime notices.
func openReaders() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return err
	}
	readers.fd = fd
	readers.rc, err = os.NewFile(uintptr(fd), "epoll").SyscallConn()
	return err
}

func serveReaders() {
	events := make([]unix.EpollEvent, 256)
	buf := make([]byte, 64<<10)
	var n int
	var err error
	wait := func(fd uintptr) bool {
		n, err = unix.EpollWait(int(fd), events, 0)
		return n != 0 || err != nil
	}
	for {
		waiting := readers.rc.Read(wait)
		if err == unix.EINTR {
			continue
		}
		if err = errors.Join(err, waiting); err != nil {
			fmt.Fprintln(os.Stderr, "epoll:", err)
			return
		}
		for _, e := range events[:n] {
			readers.mu.Lock()
			r := readers.of[e.Fd]
			readers.mu.Unlock()
			if r == nil {
				continue
			}
			kept := copy(buf, r.part)
			n, err := receive(int(e.Fd), buf[kept:])
			if err == unix.EAGAIN {
				continue
			}
			if err != 0 || n <= 0 {
				unix.EpollCtl(readers.fd, unix.EPOLL_CTL_DEL, int(e.Fd), nil)
				continue
			}
			r.part = append(r.part[:0], r.take(buf[:kept+n])...)
			if len(r.part) == len(buf) {
				r.stats.fail(fmt.Errorf("a frame over %d bytes", len(buf)))
				unix.EpollCtl(readers.fd, unix.EPOLL_CTL_DEL, int(e.Fd), nil)
			}
		}
	}
}

// receive reads from a socket that never blocks, so that the scheduler need not be told.
func receive(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	return int(n), errno
}

// take reads whole frames and returns the rest.
func (r *reader) take(b []byte) []byte {
	for len(b) >= 2 {
		head, n := 2, int(b[1]&0x7f)
		switch n {
		case 126:
			head = 4
			if len(b) < head {
				return b
			}
			n = int(binary.BigEndian.Uint16(b[2:]))
		case 127:
			head = 10
			if len(b) < head {
				return b
			}
			n = int(binary.BigEndian.Uint64(b[2:]))
		}
		if n < 0 || len(b)-head < n {
			return b
		}
		if b[0]&0x0f == opBinary {
			r.message(b[head : head+n])
		}
		b = b[head+n:]
	}
	return b
}

func (r *reader) message(b []byte) {
	now := time.Now()
	frame := syncproto.NewDecoder(b)
	for m, ok := frame.Next(); ok; m, ok = frame.Next() {
		if m.Kind != syncproto.KindUpdate && m.Kind != syncproto.KindSyncStep2 {
			continue
		}
		contents, err := crdt.ContentsOf(crdt.V1, m.Payload)
		if err != nil {
			r.stats.fail(err)
			return
		}
		for client, blocks := range contents.Blocks.All() {
			if from := r.seen[client]; blocks.To > from {
				r.seen[client] = blocks.To
				for _, w := range r.group.saw(r.stats, client, crdt.Range{From: from, To: blocks.To}, now) {
					w.next()
				}
			}
		}
	}
}
