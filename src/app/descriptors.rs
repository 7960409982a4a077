//! Whether the process may open as many files as the configuration asks for.

/// A connection may hold two: the caller's and one to the upstream.
const PER_CONNECTION: u64 = 2;

/// Warns where `max_connections` cannot be reached, which otherwise shows only under load.
pub(super) fn warn_if_scarce(max_connections: usize) {
    let Ok(limits) = std::fs::read_to_string("/proc/self/limits") else { return };
    let Some(allowed) = soft_limit(&limits) else { return };
    let wanted = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_mul(PER_CONNECTION);
    if wanted > allowed {
        tracing::warn!(
            max_connections,
            open_files = allowed,
            "fewer connections than proxy.max_connections will fit: \
             raise the limit of open files (ulimit -n, LimitNOFILE=) to {wanted} or lower the setting"
        );
    }
}

/// The soft limit of open files; none where it is unlimited.
fn soft_limit(limits: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read_from_the_kernels_table() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max processes             127                  127                  processes \n\
                     Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(table), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited  unlimited  files"), None);
        assert_eq!(soft_limit(""), None);
    }
}
