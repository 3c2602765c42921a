package bench

import "slices"

// Sample is what the rounds of one measurement gave.
type Sample []float64

// Median is the middle value, or the mean of the two in the middle.
func (s Sample) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(s))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Jain is the fairness index of shares: 1 if all are equal, 1/n if one has all.
func Jain(shares []float64) float64 {
	var sum, squares float64
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// Range is the lowest and the highest value.
func (s Sample) Range() (low, high float64) {
	if len(s) == 0 {
		return 0, 0
	}
	return slices.Min(s), slices.Max(s)
}
