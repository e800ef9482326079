//! Proxies that people run in front of servers, each in front of a bare loop of this process.
//!
//! What is measured is the process with its children: the proxy and the server behind it. The proxy
//! gets a signal when this process ends.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use super::bare;

/// Where the module of streams is, if nginx is not built with it.
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// nginx with its module `stream`. The port is taken over from `listener`.
pub(super) fn nginx(listener: TcpListener) -> io::Result<()> {
    let load = match fs::exists(NGINX_MODULE)? {
        true => format!("load_module {NGINX_MODULE};"),
        false => String::new(),
    };
    let folder = super::super::servers::scratch("nginx-stream")?;
    serve(listener, |port, behind| {
        let file = format!("{folder}/conf");
        let text = format!(
            "{load} daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;\n\
             events {{ worker_connections 16384; }}\n\
             stream {{ server {{ listen 127.0.0.1:{port} backlog=4096; \
             proxy_pass 127.0.0.1:{behind}; }} }}\n"
        );
        fs::write(&file, text)?;
        Ok(vec!["nginx".into(), "-c".into(), file])
    })
}

/// HAProxy in its mode `tcp`, with one thread.
pub(super) fn haproxy(listener: TcpListener) -> io::Result<()> {
    let folder = super::super::servers::scratch("haproxy-tcp")?;
    serve(listener, |port, behind| {
        let file = format!("{folder}/conf");
        let text = format!(
            "global\n nbthread 1\n maxconn 4000\ndefaults\n mode tcp\n timeout connect 5s\n \
             timeout client 1h\n timeout server 1h\nlisten all\n \
             bind 127.0.0.1:{port} backlog 4096\n server one 127.0.0.1:{behind}\n"
        );
        fs::write(&file, text)?;
        Ok(vec!["haproxy".into(), "-db".into(), "-f".into(), file])
    })
}

fn serve(
    listener: TcpListener,
    command: impl FnOnce(u16, u16) -> io::Result<Vec<String>>,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let behind = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    super::listen_long(&behind)?;
    let words = command(port, behind.local_addr()?.port())?;
    drop(listener);
    let mut proxy = Command::new(&words[0]);
    proxy.args(&words[1..]);
    // SAFETY: prctl(2) takes no pointer and may be called between fork and exec.
    let ends_with_us = || match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    let mut proxy = unsafe { proxy.pre_exec(ends_with_us) }.spawn()?;
    thread::spawn(move || bare::serve(behind));
    proxy.wait()?;
    Err(io::Error::other("the proxy has ended"))
}
