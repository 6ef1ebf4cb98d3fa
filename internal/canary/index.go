package canary

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// windowSize is the number of bytes that the index reads at each position of a
// text.
const windowSize = 8

// An index finds all forms in one pass over a text, like the algorithm of Rabin
// and Karp: each form is stored under one window of its needle, and each window
// of the text is looked up. The needle is compared only where a window
// matches.
type index struct {
	forms map[uint64][]anchor
	// filter has the bit of each window in forms. It rules out nearly all positions
	// of a text, and stays in the processor's cache.
	filter []uint64
	shift  uint
}

// An anchor is a form and the offset of its window.
type anchor struct {
	form   form
	offset int
}

// window returns the first bytes of b in lower case. (Other characters change
// too, which may cost a needless comparison.)
func window(b []byte) uint64 {
	return binary.LittleEndian.Uint64(b) | 0x2020202020202020
}

// add stores f under the window that has the fewest forms so far, because tokens
// often begin alike. The needle has at least windowSize bytes.
func (x *index) add(f form) {
	if x.forms == nil {
		x.forms = map[uint64][]anchor{}
	}
	best, fewest := 0, -1
	for offset := len(f.needle) - windowSize; offset >= 0 && fewest != 0; offset-- {
		if n := len(x.forms[window(f.needle[offset:])]); fewest < 0 || n < fewest {
			best, fewest = offset, n
		}
	}
	w := window(f.needle[best:])
	x.forms[w] = append(x.forms[w], anchor{f, best})
	if len(x.forms) > len(x.filter)*64/bitsPerWindow {
		x.grow()
	}
	x.mark(w)
}

// bitsPerWindow is the size of the filter: it passes one position of so many by
// chance.
const bitsPerWindow = 16

func (x *index) grow() {
	size := bits.Len(uint(len(x.forms) * bitsPerWindow * 2))
	x.filter, x.shift = make([]uint64, 1<<size/64+1), uint(64-size)
	for w := range x.forms {
		x.mark(w)
	}
}

func (x *index) bit(w uint64) (word uint64, mask uint64) {
	const golden = 0x9e3779b97f4a7c15 // Fibonacci hashing
	b := w * golden >> x.shift
	return b / 64, 1 << (b % 64)
}

func (x *index) mark(w uint64) {
	word, mask := x.bit(w)
	x.filter[word] |= mask
}

// search calls found for each form in text, with its position.
func (x *index) search(text []byte, found func(f form, at int)) {
	for i := 0; i+windowSize <= len(text); i++ {
		w := window(text[i:])
		if word, mask := x.bit(w); x.filter[word]&mask == 0 {
			continue
		}
		for _, a := range x.forms[w] {
			at := i - a.offset
			if at < 0 || at+len(a.form.needle) > len(text) {
				continue
			}
			there := text[at : at+len(a.form.needle)]
			if bytes.Equal(there, a.form.needle) || a.form.folded && bytes.EqualFold(there, a.form.needle) {
				found(a.form, at)
			}
		}
	}
}
