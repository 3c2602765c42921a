package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
)

// registration is how long ibv_reg_mr and ibv_dereg_mr take, of memory that was written and memory that was not.
func registration(ctx context.Context, o Options) ([]*Figure, error) {
	f := &Figure{
		Name: "registration", Title: "Registering memory", XName: "size", X: inBytes, YName: "ms", Y: three,
	}
	err := o.rounds(ctx, "registration", "auto", func(_ *World, _, client *Container) error {
		for size := 1 << 20; size <= 1<<30; size *= o.step(4, 32) {
			for _, kind := range []string{"untouched", "populated"} {
				reg, dereg, err := register(ctx, client, size, kind)
				if err != nil {
					return err
				}
				f.Add("register, "+kind, float64(size), reg/1e3)
				f.Add("deregister, "+kind, float64(size), dereg/1e3)
			}
		}
		return nil
	})
	return []*Figure{f}, err
}

// register runs ffregister: two times in microseconds.
func register(ctx context.Context, c *Container, size int, kind string) (reg, dereg float64, err error) {
	text, err := c.Run(ctx, filepath.Join(c.w.Tools, "ffregister"), strconv.Itoa(size), kind)
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscanf(text, "%f %f", &reg, &dereg)
	return reg, dereg, err
}
