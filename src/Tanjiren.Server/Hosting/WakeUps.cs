namespace Tanjiren.Server.Hosting;

/// <summary>
/// Hints that something changed: <c>work:ws_…</c> (a workstation may have something to do), <c>task:task_…</c> (a task has a new event), <c>inbox:org_…</c> (an
/// approval or a permission was asked for, or waits no longer), <c>permission:perm_…</c> (it was answered, or is not asked any more) and <c>access:usr_…</c> (somebody may do less than before: a role, a membership or a credential), and what the loops
/// that sleep until something is due wait for.
/// A hint may be lost or come for nothing, so whoever waits subscribes first, then looks at the database, then waits.
/// </summary>
internal sealed class WakeUps : IDisposable
{
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<string, HashSet<Subscription>> _subscriptions = [];
    private Action<string>? _broadcast;

    public static string Work(string instanceId) => "work:" + instanceId;
    public static string Task(string taskId) => "task:" + taskId;
    public static string Inbox(string organizationId) => "inbox:" + organizationId;
    public static string Permission(string permissionId) => "permission:" + permissionId;
    public static string Access(string userId) => "access:" + userId;
    /// <summary>A schedule was changed, or a task of one has ended.</summary>
    public const string Schedules = "schedules";
    /// <summary>An attempt is planned.</summary>
    public const string Retries = "retries";

    /// <summary>True once the server stops: whoever was woken answers with what there is, instead of waiting again.</summary>
    public bool IsClosed => _closing.IsCancellationRequested;

    /// <summary>Ends every wait, now and later: an answer that hangs would otherwise hold up the server's stop until the host's patience is over.</summary>
    public Task CloseAsync() => _closing.CancelAsync();

    public void Dispose() => _closing.Dispose();

    /// <summary>Wakes those who wait for this key here and, when a broadcast is attached, in other server processes.</summary>
    public void Notify(string key)
    {
        NotifyLocal(key);
        _broadcast?.Invoke(key);
    }

    public void NotifyLocal(string key)
    {
        lock (_gate)
        {
            if (!_subscriptions.TryGetValue(key, out var waiting)) return;
            foreach (var subscription in waiting) subscription.Set();
        }
    }

    /// <summary>Wakes everybody: after hints may have been lost.</summary>
    public void NotifyAllLocal()
    {
        lock (_gate)
        {
            foreach (var subscription in _subscriptions.Values.SelectMany(s => s)) subscription.Set();
        }
    }

    /// <summary>Where every hint is passed on to as well; must not block. Set once at start.</summary>
    public void AttachBroadcast(Action<string> broadcast) => _broadcast = broadcast;

    /// <summary>How many wait, or look before they wait.</summary>
    public int Subscriptions
    {
        get
        {
            lock (_gate) return _subscriptions.Values.SelectMany(s => s).Distinct().Count();
        }
    }

    /// <summary>Waits for any of these keys.</summary>
    public Subscription Subscribe(params string[] keys)
    {
        var subscription = new Subscription(this, keys);
        lock (_gate)
        {
            foreach (var key in keys)
            {
                if (!_subscriptions.TryGetValue(key, out var waiting)) _subscriptions[key] = waiting = [];
                waiting.Add(subscription);
            }
        }
        return subscription;
    }

    private void Remove(Subscription subscription)
    {
        lock (_gate)
        {
            foreach (var key in subscription.Keys)
            {
                var waiting = _subscriptions[key];
                waiting.Remove(subscription);
                if (waiting.Count == 0) _subscriptions.Remove(key);
            }
        }
    }

    /// <summary>Remembers a hint that came between two waits, so none is missed.</summary>
    internal sealed class Subscription(WakeUps owner, IReadOnlyList<string> keys) : IDisposable
    {
        private readonly SemaphoreSlim _signal = new(0, 1);

        public IReadOnlyList<string> Keys => keys;

        /// <summary>True when woken, false when the time was up or the server stops (<see cref="IsClosed"/>).</summary>
        public async Task<bool> WaitAsync(TimeSpan timeout, TimeProvider clock, CancellationToken cancellationToken)
        {
            // The source owns its timer: one of our own could fire into a source that has just been disposed, on a thread where that ends the process.
            using var expiry = new CancellationTokenSource(timeout, clock);
            using var timer = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, expiry.Token, owner._closing.Token);
            try
            {
                await _signal.WaitAsync(timer.Token);
                return true;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                return false;
            }
        }

        internal void Set()
        {
            try { _signal.Release(); }
            catch (SemaphoreFullException) { /* a hint is pending already */ }
        }

        public void Dispose()
        {
            owner.Remove(this);
            _signal.Dispose();
        }
    }
}
