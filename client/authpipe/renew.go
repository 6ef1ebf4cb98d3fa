package authpipe

import (
	"container/heap"
	"time"
)

// A queue is a heap of entries by when their renewal is due. Idle entries are not in it, so they cost nothing.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].answer.Load().due < q[j].answer.Load().due }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = nil
	*q = (*q)[:len(*q)-1]
	last.index = -1
	return last
}

// set adds e, or moves it to where its answer's time belongs.
func (q *queue) set(e *entry) {
	if e.index >= 0 {
		heap.Fix(q, e.index)
		return
	}
	heap.Push(q, e)
}

func (q *queue) remove(e *entry) {
	if e.index >= 0 {
		heap.Remove(q, e.index)
	}
}

// enqueue queues e's renewal, and wakes the scheduler if it is the next one. A failed first read is never renewed: the next caller
// begins a call. It is called with mu held.
func (c *cache) enqueue(e *entry) {
	if e.answer.Load().due == forever {
		c.queue.remove(e)
		return
	}
	c.queue.set(e)
	if e.index == 0 {
		c.wakeScheduler()
	}
}

// requeue queues e's renewal, which is due: e was idle when it was last the next one, and is in use again.
func (c *cache) requeue(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && c.table.get(&e.ref) == e {
		c.enqueue(e)
	}
}

func (c *cache) wakeScheduler() {
	select {
	case c.wake <- struct{}{}:
	default: // it is being woken already
	}
}

// schedule renews the entries that are due and in use, until the client is closed. It is the only goroutine with a timer.
func (c *cache) schedule() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.mount.ctx.Done():
			return
		}
		timer.Stop()
		if wait, known := c.renew(); known {
			timer.Reset(wait)
		}
	}
}

// renew begins the calls that are due, as many as Parallel allows, and returns how long to wait for the next one, if that is known.
// An entry that was not read since its answer came becomes idle and leaves the queue. Its next reader queues it again, or waits for
// a call if the entry was idle for long.
func (c *cache) renew() (wait time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && c.background < c.options.Parallel && !c.closed {
		e := c.queue[0]
		if wait := e.answer.Load().due - c.now(); wait > 0 {
			return wait, true
		}
		heap.Pop(&c.queue)
		switch {
		case e.marks.Load()&used == 0:
			e.marks.Or(idle)
		case c.calls[e.ref] == nil:
			c.background++
			c.begin(e.ref, nil, true)
		}
	}
	return 0, false // a call that finishes, or a new entry, wakes the scheduler
}
