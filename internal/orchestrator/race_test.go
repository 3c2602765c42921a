//go:build race

package orchestrator

// raceDetector makes everything slow: tests of scale take a tenth.
const raceDetector = true
