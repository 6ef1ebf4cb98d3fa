package authpipe

import (
	"container/heap"
	"time"
)

// An agenda is a heap of entries by when they are due. What nobody asks for is not in it, so it costs nothing.
type agenda []*entry

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].answer.Load().due < a[j].answer.Load().due }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i]; a[i].index, a[j].index = i, j }

// Push implements [heap.Interface].
func (a *agenda) Push(x any) {
	e := x.(*entry)
	e.index = len(*a)
	*a = append(*a, e)
}

// Pop implements [heap.Interface].
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = nil
	*a = (*a)[:len(*a)-1]
	last.index = -1
	return last
}

// set puts e where its answer's time has it.
func (a *agenda) set(e *entry) {
	if e.index >= 0 {
		heap.Fix(a, e.index)
		return
	}
	heap.Push(a, e)
}

func (a *agenda) remove(e *entry) {
	if e.index >= 0 {
		heap.Remove(a, e.index)
	}
}

// plan notes when e is due, and wakes the scheduler if that is first. Trouble never is: who wants to know asks again. It is called
// with the lock held.
func (c *Client) plan(e *entry) {
	if e.answer.Load().due == forever {
		c.agenda.remove(e)
		return
	}
	c.agenda.set(e)
	if e.index == 0 {
		c.poke()
	}
}

// nudge plans e's renewal, which is due: somebody uses it who had not been seen when it would have been its turn.
func (c *Client) nudge(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && c.table.get(&e.ref) == e {
		c.plan(e)
	}
}

func (c *Client) poke() {
	select {
	case c.wake <- struct{}{}:
	default: // it is being woken
	}
}

// schedule renews what is due and in use, until the client is closed. It is the only goroutine that waits for a time.
func (c *Client) schedule() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.life.Done():
			return
		}
		timer.Stop()
		if wait, some := c.renew(); some {
			timer.Reset(wait)
		}
	}
}

// renew begins the flights for what is due, as many as may be under way, and returns when to come again, if it is known. What
// nobody has used since its answer came is left to sleep: who asks for it next wakes it, and after a long sleep waits for what is so
// by then.
func (c *Client) renew() (wait time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.agenda) > 0 && c.background < c.options.Parallel && !c.closed {
		e := c.agenda[0]
		if wait := e.answer.Load().due - c.now(); wait > 0 {
			return wait, true
		}
		heap.Pop(&c.agenda)
		switch {
		case e.marks.Load()&used == 0:
			e.marks.Or(asleep)
		case c.flights[e.ref] == nil:
			c.background++
			c.takeOff(e.ref, nil, true)
		}
	}
	return 0, false // a flight that lands, or what is planned, wakes it
}
