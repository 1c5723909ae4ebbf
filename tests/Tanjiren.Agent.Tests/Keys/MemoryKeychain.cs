using System.Collections.Concurrent;
using Tanjiren.Agent.Keys;

namespace Tanjiren.Tests;

/// <summary>A keychain in memory. It can be locked, fall silent, and break off before any of its operations, which is where a machine may stop. Like libsecret it says nothing of a write that it did not keep.</summary>
internal sealed class MemoryKeychain : ISecretStore
{
    private readonly ConcurrentDictionary<string, byte[]> entries = new();
    private readonly ConcurrentQueue<string> asked = new();
    private volatile TaskCompletionSource? silence;

    public string Title => "the test's keychain";

    public bool Locked { get; set; }

    /// <summary>Called with each operation before it happens.</summary>
    public Action<string> Before { get; set; } = static _ => { };

    public IReadOnlyList<string> Names => [.. entries.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Without what a probe left that was stopped in the middle: it is of no worth.</summary>
    public IReadOnlyList<string> Kept => [.. Names.Where(name => !name.StartsWith("probe.", StringComparison.Ordinal))];

    public byte[]? Peek(string name) => entries.GetValueOrDefault(name);

    /// <summary>Whether it came to the operation that <see cref="StopAt"/> named.</summary>
    public bool Stopped { get; private set; }

    /// <summary>Every operation so far: <c>write agent-key.…</c>.</summary>
    public IReadOnlyList<string> Asked => [.. asked];

    /// <summary>Waits for a password that nobody types, until <see cref="Speak"/>.</summary>
    public void FallSilent() => silence = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Speak()
    {
        var waiting = silence;
        silence = null;
        waiting?.TrySetResult();
    }

    /// <summary>From the given operation on, counted from 1, nothing happens any more: the machine has stopped.</summary>
    public void StopAt(int operation)
    {
        var left = operation;
        Before = name =>
        {
            if (Interlocked.Decrement(ref left) > 0) return;
            Stopped = true;
            throw new InvalidOperationException($"the machine stopped before: {name}");
        };
    }

    public void GoOn() => Before = static _ => { };

    /// <summary>Like a keyring that shows nothing of what is locked.</summary>
    public bool? Has(string name)
    {
        Enter("has " + name);
        return Locked ? null : entries.ContainsKey(name);
    }

    public byte[]? Read(string name)
    {
        Enter("read " + name);
        return Locked ? null : entries.GetValueOrDefault(name);
    }

    public void Write(string name, byte[] secret)
    {
        Enter("write " + name);
        if (!Locked) entries[name] = secret;
    }

    public void Delete(string name)
    {
        Enter("delete " + name);
        if (!Locked) entries.TryRemove(name, out _);
    }

    private void Enter(string operation)
    {
        silence?.Task.Wait();
        Before(operation);
        asked.Enqueue(operation);
    }
}
