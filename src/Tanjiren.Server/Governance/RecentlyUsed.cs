using System.Diagnostics.CodeAnalysis;

namespace Tanjiren.Server.Governance;

/// <summary>So many values; one more puts out the one that was asked for longest ago, and no other. For any thread.</summary>
internal sealed class RecentlyUsed<TKey, TValue>(int capacity) where TKey : notnull
{
    private readonly Lock _lock = new();
    private readonly Dictionary<TKey, LinkedListNode<(TKey Key, TValue Value)>> _nodes = [];
    private readonly LinkedList<(TKey Key, TValue Value)> _order = [];

    public bool TryGet(TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        lock (_lock)
        {
            var found = _nodes.TryGetValue(key, out var node);
            if (found) Touch(node!);
            value = found ? node!.Value.Value : default;
            return found;
        }
    }

    /// <summary>The value that is there, else this one.</summary>
    public TValue GetOrAdd(TKey key, TValue value)
    {
        lock (_lock)
        {
            if (_nodes.TryGetValue(key, out var node))
            {
                Touch(node);
                return node.Value.Value;
            }
            if (_nodes.Count >= capacity)
            {
                _nodes.Remove(_order.Last!.Value.Key);
                _order.RemoveLast();
            }
            _nodes[key] = _order.AddFirst((key, value));
            return value;
        }
    }

    /// <summary>In place of what is there.</summary>
    public void Set(TKey key, TValue value)
    {
        lock (_lock)
        {
            if (_nodes.Remove(key, out var old)) _order.Remove(old);
            GetOrAdd(key, value);
        }
    }

    private void Touch(LinkedListNode<(TKey, TValue)> node)
    {
        _order.Remove(node);
        _order.AddFirst(node);
    }
}
