using System.Runtime.InteropServices;
using System.Text;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>A NULL-terminated array of C strings in one block of native memory, in the form that exec takes.</summary>
internal sealed unsafe class NativeStrings : IDisposable
{
    private byte** _block;

    public NativeStrings(IReadOnlyCollection<string> values)
    {
        var pointers = (nuint)(values.Count + 1) * (nuint)sizeof(byte*);
        nuint bytes = 0;
        foreach (var value in values) bytes += (nuint)Encoding.UTF8.GetByteCount(value) + 1;
        _block = (byte**)NativeMemory.Alloc(pointers + bytes);
        var next = (byte*)_block + pointers;
        var i = 0;
        foreach (var value in values)
        {
            var length = Encoding.UTF8.GetBytes(value, new Span<byte>(next, Encoding.UTF8.GetByteCount(value)));
            next[length] = 0;
            _block[i++] = next;
            next += length + 1;
        }
        _block[i] = null;
    }

    public byte** Pointer => _block;

    public void Dispose()
    {
        NativeMemory.Free(_block);
        _block = null;
    }
}
