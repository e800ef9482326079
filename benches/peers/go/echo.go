// An echo server as Go programs are written: a goroutine for each connection, with a buffer of its
// own, and blocking calls of package net, which waits in the epoll of the runtime: echo PORT. Go
// sets TCP_NODELAY by itself.
package main

import (
	"log"
	"net"
	"os"
)

const readSize = 16 << 10

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection)
	}
}

func serve(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, readSize)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}
