// Command etcd is a member of an etcd of the owner's: etcd NAME DIR ADDRESS NAME=URL,... It runs until it is killed.
package main

import (
	"fmt"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name, dir, address, all string) error {
	c := embed.NewConfig()
	c.Name, c.Dir, c.InitialCluster = name, dir, all
	c.TickMs, c.ElectionMs, c.PreVote = 100, 1000, true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	peer, client := url.URL{Scheme: "http", Host: address + ":2380"}, url.URL{Scheme: "http", Host: address + ":2379"}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	return <-e.Err()
}
