package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A contender is a target of reads that are compared.
type contender struct {
	name  string
	paths []string // taken in turn

	before func(context.Context) error // is called before each round, unless it is nil
	once   bool                        // a round reads each path at most once

	rates     []float64 // requests a second, by round
	latencies []time.Duration
}

// contest sends reads to the contenders in rounds, in which each has its turn. The turns are shuffled, because a contender pays for
// the garbage of the one before. The first round warms up and is not counted.
func contest(ctx context.Context, v *vault, contenders []*contender, connections, rounds int, d time.Duration) error {
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}
	defer transport.CloseIdleConnections()
	for n := range rounds + 1 {
		for _, i := range rand.Perm(len(contenders)) {
			c := contenders[i]
			if c.before != nil {
				if err := c.before(ctx); err != nil {
					return fmt.Errorf("preparing %s: %w", c.name, err)
				}
			}
			latencies, took, err := c.round(ctx, v, transport, connections, d)
			if err != nil {
				return fmt.Errorf("reading from %s: %w", c.name, err)
			}
			if n > 0 {
				c.rates = append(c.rates, float64(len(latencies))/took.Seconds())
				c.latencies = append(c.latencies, latencies...)
			}
		}
	}
	for _, c := range contenders {
		slices.Sort(c.latencies)
	}
	return nil
}

// round reads for d and returns how long each read took.
func (c *contender) round(ctx context.Context, v *vault, transport *http.Transport, connections int, d time.Duration) (all []time.Duration, took time.Duration, err error) {
	var group sync.WaitGroup
	latencies, errs := make([][]time.Duration, connections), make([]error, connections)
	begun := time.Now()
	for i := range connections {
		group.Go(func() { latencies[i], errs[i] = c.read(ctx, v, transport, i, begun.Add(d)) })
	}
	group.Wait()
	took = time.Since(begun)
	return slices.Concat(latencies...), took, errors.Join(errs...)
}

// read is one connection's reader.
func (c *contender) read(ctx context.Context, v *vault, transport *http.Transport, first int, end time.Time) ([]time.Duration, error) {
	requests := make([]*http.Request, len(c.paths))
	for i, path := range c.paths {
		var err error
		if requests[i], err = v.request(ctx, http.MethodGet, path, nil); err != nil {
			return nil, err
		}
	}
	latencies := make([]time.Duration, 0, 1<<14)
	for i := first; ; i++ {
		begun := time.Now()
		resp, err := transport.RoundTrip(requests[i%len(requests)])
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, errors.New(resp.Status)
		}
		latencies = append(latencies, time.Since(begun))
		// At least one read: on a busy machine a short round may pass without any.
		if !time.Now().Before(end) || c.once && i == first+len(requests)-1 {
			return latencies, nil
		}
	}
}

// quantile returns the value that the share q of sorted values does not exceed.
func quantile[T any](sorted []T, q float64) T {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// against returns the ratios of c's rates to other's, round by round, sorted.
func (c *contender) against(other *contender) []float64 {
	ratios := make([]float64, len(c.rates))
	for i := range ratios {
		ratios[i] = c.rates[i] / other.rates[i]
	}
	slices.Sort(ratios)
	return ratios
}

func median(values []float64) float64 { return quantile(slices.Sorted(slices.Values(values)), 0.5) }
