package session

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring hands the sends of many sockets to the kernel in one system call, by io_uring(7): the way into the
// kernel and out of it is a good part of what a send costs. All of them ask not to wait, so each is carried
// out inside that call, in order, and none is under way when it returns. One goroutine at a time may use it.
type ring struct {
	// Fixed after construction.
	fd             int
	queues, memory []byte // mapped
	submissions    ringQueue
	completions    ringQueue
	entries        []ringEntry
	results        []ringResult

	sends []ringSend // in the order of their entries
}

// ringSend is one send of a batch.
type ringSend struct {
	p   []byte // keeps it in memory; nil after the flush
	res int32  // bytes sent, -errno, or notSent
}

// notSent says of a send that the kernel has not taken it: it is as if it had never been added.
const notSent = math.MinInt32

// leastRing is how many sends are worth it: one alone costs a fifth more than sendto(2) (BenchmarkShardWrite).
const leastRing = 2

// ringQueue is where the kernel and we are in one of the two queues.
type ringQueue struct {
	head, tail *atomic.Uint32
	mask       uint32
}

// The layouts and numbers are those of include/uapi/linux/io_uring.h.

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
	cq                                                   struct{ head, tail, mask, entries, overflow, cqes, flags, _, _, _ uint32 }
}

// ringEntry is struct io_uring_sqe, as a send has it.
type ringEntry struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	_             uint64
	addr          uint64
	len, msgFlags uint32
	user          uint64
	_             [3]uint64
}

// ringResult is struct io_uring_cqe.
type ringResult struct {
	user  uint64
	res   int32
	flags uint32
}

const (
	ringOpSend       = 26
	ringSubmitAll    = 1 << 7     // IORING_SETUP_SUBMIT_ALL: one that fails does not hold the others up
	ringCoopTaskrun  = 1 << 8     // IORING_SETUP_COOP_TASKRUN: does nothing for sends, and tells Linux 5.19
	ringSingleMap    = 1 << 0     // IORING_FEAT_SINGLE_MMAP
	ringEntryMap     = 0x10000000 // IORING_OFF_SQES
	ringEnterAndWait = 1 << 0     // IORING_ENTER_GETEVENTS
)

// newRing makes a ring for batches of up to size sends, a power of two. It fails where the kernel is older
// than 5.19, or where io_uring is forbidden, as in most containers and by kernel.io_uring_disabled.
func newRing(size int) (*ring, error) {
	p := ringParams{flags: ringSubmitAll | ringCoopTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(size), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring: %w", errno)
	}
	r := &ring{fd: int(fd)}
	if err := r.open(&p, size); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// open maps the queues and tries them.
func (r *ring) open(p *ringParams, size int) (err error) {
	if p.features&ringSingleMap == 0 || int(p.sqEntries) != size {
		return errors.New("io_uring: not as asked for")
	}
	const entryBytes, resultBytes = int(unsafe.Sizeof(ringEntry{})), int(unsafe.Sizeof(ringResult{}))
	length := max(int(p.sq.array)+4*size, int(p.cq.cqes)+resultBytes*int(p.cqEntries))
	if r.queues, err = ringMap(r.fd, 0, length); err != nil {
		return err
	}
	if r.memory, err = ringMap(r.fd, ringEntryMap, entryBytes*size); err != nil {
		return err
	}
	word := func(offset uint32) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&r.queues[offset])) }
	r.submissions = ringQueue{word(p.sq.head), word(p.sq.tail), word(p.sq.mask).Load()}
	r.completions = ringQueue{word(p.cq.head), word(p.cq.tail), word(p.cq.mask).Load()}
	r.entries = unsafe.Slice((*ringEntry)(unsafe.Pointer(&r.memory[0])), size)
	r.results = unsafe.Slice((*ringResult)(unsafe.Pointer(&r.queues[p.cq.cqes])), p.cqEntries)
	for i := range p.sqEntries {
		word(p.sq.array + 4*i).Store(i) // the kernel takes the entries in their order
	}
	return r.try()
}

func ringMap(fd int, offset int64, length int) ([]byte, error) {
	mem, err := unix.Mmap(fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("io_uring: map: %w", err)
	}
	return mem, nil
}

// try sends something: what makes a ring may still not let it be used.
func (r *ring) try() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("io_uring: %w", err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	const first, second = "he", "llo"
	r.add(pair[0], []byte(first))
	r.add(pair[0], []byte(second))
	sends, err := r.flush()
	if err != nil {
		return err
	}
	if sends[0].res != int32(len(first)) || sends[1].res != int32(len(second)) {
		return fmt.Errorf("io_uring: two sends came to %d and %d", sends[0].res, sends[1].res)
	}
	var got [8]byte
	n, err := unix.Read(pair[1], got[:])
	if err != nil {
		return fmt.Errorf("io_uring: of two sends nothing came: %w", err)
	}
	if string(got[:n]) != first+second {
		return fmt.Errorf("io_uring: two sends came as %q", got[:n])
	}
	return nil
}

func (r *ring) close() {
	for _, mem := range [][]byte{r.queues, r.memory} {
		if mem != nil {
			_ = unix.Munmap(mem)
		}
	}
	unix.Close(r.fd)
}

func (r *ring) full() bool { return len(r.sends) == len(r.entries) }

// add has p sent by the next flush. Up to that p must not change, and fd not be closed. Not when the ring is
// full.
func (r *ring) add(fd int, p []byte) {
	number := uint32(len(r.sends))
	r.sends = append(r.sends, ringSend{p, notSent})
	r.entries[(r.submissions.tail.Load()+number)&r.submissions.mask] = ringEntry{
		opcode: ringOpSend, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), len: uint32(len(p)),
		msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, user: uint64(number),
	}
}

// flush sends what was added and returns what came of it, in the same order, good until the next add. An
// error says why the kernel has not taken all.
func (r *ring) flush() (sends []ringSend, err error) {
	sends = r.sends
	r.sends = r.sends[:0]
	if len(sends) >= leastRing {
		err = r.submit(sends)
	}
	for i := range sends {
		sends[i].p = nil
	}
	return sends, err
}

func (r *ring) submit(sends []ringSend) error {
	begin := r.submissions.tail.Load()
	r.submissions.tail.Store(begin + uint32(len(sends)))
	failed := r.enter(len(sends), 0, 0)
	// Whatever it says, it is where it has put its head. The rest is taken back.
	taken := r.submissions.head.Load() - begin
	r.submissions.tail.Store(begin + taken)
	for done := uint32(0); ; {
		head := r.completions.head.Load()
		for ; head != r.completions.tail.Load(); head++ {
			result := &r.results[head&r.completions.mask]
			sends[result.user].res = result.res
			done++
		}
		r.completions.head.Store(head)
		if done == taken {
			break
		}
		// Never, by what the kernel does with MSG_DONTWAIT; but the bytes are its own until then.
		if errno := r.enter(0, int(taken-done), ringEnterAndWait); errno != 0 && errno != unix.EINTR {
			panic(fmt.Sprintf("io_uring: %d of %d sends do not end: %v", taken-done, taken, errno))
		}
	}
	if int(taken) < len(sends) {
		return fmt.Errorf("io_uring: %d of %d sends are taken: %w", taken, len(sends), failed)
	}
	return nil
}

// enter goes past Go's scheduler, as rawWrite does.
func (r *ring) enter(submit, await int, flags uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(await), flags, 0, 0)
	return errno
}
