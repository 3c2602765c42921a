package rdmacm

import "math/bits"

// numbers gives things the lowest number that is free, from 0, as the kernel does: librdmacm indexes a table with them.
type numbers[T any] struct {
	limit int
	slots []*T
	used  []uint64 // a bit for each slot
	low   int      // no word of used before this one has room
	count int
}

// add puts a thing under a number; ok is false if all are taken.
func (n *numbers[T]) add(v *T) (num uint32, ok bool) {
	if n.count >= n.limit {
		return 0, false
	}
	for n.low < len(n.used) && n.used[n.low] == ^uint64(0) {
		n.low++
	}
	if n.low == len(n.used) {
		n.used = append(n.used, 0)
		n.slots = append(n.slots, make([]*T, 64)...)
	}
	bit := bits.TrailingZeros64(^n.used[n.low])
	n.used[n.low] |= 1 << bit
	n.count++
	num = uint32(n.low*64 + bit)
	n.slots[num] = v
	return num, true
}

func (n *numbers[T]) get(num uint32) *T {
	if int64(num) >= int64(len(n.slots)) {
		return nil
	}
	return n.slots[num]
}

func (n *numbers[T]) remove(num uint32) {
	word := int(num / 64)
	n.slots[num] = nil
	n.used[word] &^= 1 << (num % 64)
	n.low = min(n.low, word)
	n.count--
}

// all gives the things, by number.
func (n *numbers[T]) all() []*T {
	out := make([]*T, 0, n.count)
	for _, v := range n.slots {
		if v != nil {
			out = append(out, v)
		}
	}
	return out
}
