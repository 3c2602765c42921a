package etcd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Remote is an etcd cluster that somebody else runs.
type Remote struct {
	Endpoints      []string // URLs, of all members if possible
	TLS            *tls.Config
	User, Password string
	Log            *slog.Logger
}

// Patience with members that do not answer: the client then asks another one.
const (
	dialPatience  = 3 * time.Second
	keepaliveTime = 3 * time.Second
)

// Dial makes a client of the cluster. It does not wait for an answer.
func Dial(r Remote) (*clientv3.Client, error) {
	if len(r.Endpoints) == 0 {
		return nil, errors.New("etcd: no endpoints given")
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: r.Endpoints, TLS: r.TLS, Username: r.User, Password: r.Password,
		DialTimeout: dialPatience, DialKeepAliveTime: keepaliveTime, DialKeepAliveTimeout: keepaliveTime,
		Logger: zap.New(&zapCore{log: r.Log}),
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return client, nil
}
