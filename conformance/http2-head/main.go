// Command http2-head serves HTTP/2 with prior knowledge; each response is the head of its request, as text of HTTP/1.1.
package main

import (
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
)

func main() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{Addr: os.Args[1], Protocols: &protocols, Handler: http.HandlerFunc(head)}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

func head(w http.ResponseWriter, r *http.Request) {
	lines := []string{"host: " + r.Host}
	for name, values := range r.Header {
		for _, value := range values {
			lines = append(lines, strings.ToLower(name)+": "+value)
		}
	}
	sort.Strings(lines)
	fmt.Fprintf(w, "%s %s HTTP/1.1\r\n%s\r\n\r\n", r.Method, r.RequestURI, strings.Join(lines, "\r\n"))
}
